"""Parts of the concurrency and fault tests: a bad network, forms of the contract, and the verdict."""
