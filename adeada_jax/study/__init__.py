"""Many runs, one table: the paper's comparisons, and the analyses of what was bought."""
