alter table refunds add column approved_by text;
