"""What operators start the program with: the image, compose.yaml, the chart, proxies in front."""
