"""Small encoders of what is seen, felt and said; each in a file of its own."""
