-- no-transaction
create index concurrently if not exists tickets_station on tickets (station, order_id);
