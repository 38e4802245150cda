"""The overview page: policy in force, workers, problems, routes, refusals, counter."""
