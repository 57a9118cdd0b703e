-- Columns with and without a default, and a table: nothing that is there is written anew.
create table channels (
    channel text primary key
);
insert into channels (channel) values ('counter'), ('app');

alter table orders
    add column channel text not null default 'counter',
    add column courier text;
alter table order_history add column actor text;
alter table menu_items add column allergens text[] not null default '{}';
alter table dead_letters add column reviewed_by text;
