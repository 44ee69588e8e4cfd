fetch("/everything/text/from-a-dynamic-module");
