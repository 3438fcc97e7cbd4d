"""What stands around the service in AWS, and the way from there to the chart."""
