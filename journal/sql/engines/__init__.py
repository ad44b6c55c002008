"""What differs from one database engine to the next: how it is opened, and what its errors mean."""
