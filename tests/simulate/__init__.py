"""The simulated world: whole schedules of conductors, crashes and hostile clouds, played in one thread from one seed."""
