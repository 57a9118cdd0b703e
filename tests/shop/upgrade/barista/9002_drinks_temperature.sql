alter table drinks add column temperature integer;
