"""A real browser for tests: Chromium, told what to do over a pair of pipes, in the DevTools protocol. Nothing else is needed."""
