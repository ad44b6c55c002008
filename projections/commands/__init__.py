"""Commands of the command line that tell what the journal means; each module brings its own."""
