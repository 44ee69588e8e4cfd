.PHONY: setup

setup:
	@tools/setup
