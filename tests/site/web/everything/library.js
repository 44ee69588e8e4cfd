self.LIBRARY = "loaded";
