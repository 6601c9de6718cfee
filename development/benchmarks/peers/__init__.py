"""The peers: each is a package that speaks to its own library, in an environment of its own."""
