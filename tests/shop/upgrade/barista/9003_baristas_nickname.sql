alter table baristas add column nickname text;
