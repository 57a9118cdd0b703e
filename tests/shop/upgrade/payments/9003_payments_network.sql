-- no-transaction
create index concurrently if not exists payments_network on payments (network, payment_id);
