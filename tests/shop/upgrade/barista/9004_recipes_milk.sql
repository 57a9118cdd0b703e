alter table recipes add column milk text not null default 'cow';
