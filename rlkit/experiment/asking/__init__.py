"""A person as the teacher: clips to compare, a page to answer on, answers as data, models fitted to them."""
