"""The pages: each view reads its filters, calls one module of mlops/dashboards or one verb, and shows the result."""
