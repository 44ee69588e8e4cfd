"""Finds: the Scrapy project, its spiders, settings and politeness."""
