"""Who is at the school: students, class groups with their members, courses with their works, and the school itself."""
