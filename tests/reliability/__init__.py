"""What the concurrency and fault tests are made of: a bad network, the ways in, and the verdict."""
