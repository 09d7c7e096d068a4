"""The paper: densities, importance, budgets, schedules and strategies, on arrays alone."""
