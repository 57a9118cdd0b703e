alter table dead_letters add column reviewed_by text;
