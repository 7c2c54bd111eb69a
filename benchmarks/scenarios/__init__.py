"""What is measured: one module a scenario, each with `measure(lab)`."""
