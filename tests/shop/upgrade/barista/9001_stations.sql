-- Columns with and without a default: nothing that is there is written anew.
alter table tickets add column station text not null default 'bar';
alter table drinks add column temperature integer;
alter table baristas add column nickname text;
alter table recipes add column milk text not null default 'cow';
