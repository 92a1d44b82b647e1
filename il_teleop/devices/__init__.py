"""What people move: one file per device."""
