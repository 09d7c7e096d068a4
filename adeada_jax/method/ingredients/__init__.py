"""What can be known of regions: a provider each of one column of the table, or a few that go together."""
