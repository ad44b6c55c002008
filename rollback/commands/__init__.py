"""What this package brings to the command line."""
