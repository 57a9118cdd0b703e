alter table menu_items add column allergens text[] not null default '{}';
