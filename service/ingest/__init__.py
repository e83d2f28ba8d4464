"""Takes in data sets as people have them: files of many formats become pixels and labels."""
