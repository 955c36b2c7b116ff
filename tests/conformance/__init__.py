"""What the rule language means, as cases."""
