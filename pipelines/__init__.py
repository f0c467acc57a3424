"""When and where it runs: the code location, jobs, schedules and the command line."""
