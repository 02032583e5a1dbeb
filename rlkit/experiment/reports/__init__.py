"""What runs say: analysis, report, pictures, lists."""
