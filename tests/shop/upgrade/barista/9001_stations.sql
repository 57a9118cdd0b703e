-- Columns with and without a default: nothing that is there is written anew.
alter table tickets add column station text not null default 'bar';
