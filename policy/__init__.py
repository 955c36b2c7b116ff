"""What is allowed: documents, CEL, bundle, plan, decision, stamp, routing, sources, lifecycle."""
