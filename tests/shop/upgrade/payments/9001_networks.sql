-- Columns with and without a default: nothing that is there is written anew.
alter table payments
    add column network text not null default 'unknown',
    add column receipt_url text;
