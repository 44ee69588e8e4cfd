"""Captures: the steps of one capture, and the item pipelines that run them inside Scrapy."""
