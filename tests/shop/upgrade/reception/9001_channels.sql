-- A table, and columns with and without a default: nothing that is there is written anew.
create table channels (
    channel text primary key
);
insert into channels (channel) values ('counter'), ('app');

alter table orders
    add column channel text not null default 'counter',
    add column courier text;
