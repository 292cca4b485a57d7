-- How many of an entry's readings, the last ones, had been stored before: of two writers with the same reading one counts it.
ALTER TABLE reading_log ADD COLUMN repeated integer NOT NULL DEFAULT 0;
