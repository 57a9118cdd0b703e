-- no-transaction
create index concurrently if not exists orders_channel on orders (channel, order_id);
