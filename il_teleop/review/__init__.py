"""Looking at recordings before they are learned from: synchronisation, quality, pictures, decisions, privacy."""
