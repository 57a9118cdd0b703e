-- What reception knows: the menu, and the orders.

-- Prices are rows, not code. A row that is withdrawn keeps its place in old orders,
-- which hold their own copy of the price.
create table menu_items (
    drink         text   not null,
    size          text   not null,
    title         text   not null,
    currency_code text   not null default 'EUR',
    price_minor   bigint not null,
    constraint menu_items_pkey primary key (drink, size),
    constraint menu_items_price_positive check (price_minor > 0),
    -- The provider takes no other, and lines of different currencies have no sum.
    constraint menu_items_currency_eur check (currency_code = 'EUR')
);

insert into menu_items (drink, size, title, price_minor) values
    ('espresso',      'single', 'Espresso',      220),
    ('espresso',      'double', 'Espresso',      280),
    ('cappuccino',    'small',  'Cappuccino',    330),
    ('cappuccino',    'large',  'Cappuccino',    390),
    ('latte',         'small',  'Caffè latte',   350),
    ('latte',         'large',  'Caffè latte',   420),
    ('flat_white',    'small',  'Flat white',    360),
    ('americano',     'small',  'Caffè americano', 280),
    ('americano',     'large',  'Caffè americano', 330),
    ('filter',        'small',  'Filter coffee', 250),
    ('filter',        'large',  'Filter coffee', 300),
    ('tea',           'small',  'Tea',           240),
    ('tea',           'large',  'Tea',           290),
    ('hot_chocolate', 'small',  'Hot chocolate', 340),
    ('hot_chocolate', 'large',  'Hot chocolate', 400);

-- One row per order, kept for ever: request_id is remembered as long as the order.
--
-- `items` never change after the order is placed and are always read with it, so
-- they are one value, not a table. `request_hash` tells a repeat from another order
-- under the same request_id, also after the payment token is erased.
create table orders (
    order_id         uuid        primary key,
    request_id       uuid        not null,
    request_hash     bytea       not null,
    customer_name    text        not null,
    items            jsonb       not null,
    currency_code    text        not null,
    total_minor      bigint      not null,
    state            text        not null,
    revision         bigint      not null,
    payment_state    text        not null,
    payment_id       uuid,
    decline_reason   text,
    refund_state     text        not null,
    cancel_state     text        not null,
    -- The last revision of the order's ticket that was applied.
    ticket_revision  bigint      not null default 0,
    -- Kept until the payment is settled or given up, then erased.
    payment_token    text,
    -- When the sweeper may look at an order whose charge is undecided or whose money has
    -- to go back, and how often it has.
    settle_time      timestamptz not null,
    settle_attempts  integer     not null default 0,
    -- A paid order of which nothing is heard is asked after. Its silence counts from
    -- its last change or, once it was asked after, from this time, which lies in the
    -- future when it is to be left alone for longer.
    silent_time      timestamptz not null default '-infinity',
    -- The trace that the order began.
    traceparent      text,
    tracestate       text,
    -- When it was stored, by the database's clock, from which its time to pay counts. The
    -- others are told to customers, and are of the clock of the instance that placed it.
    store_time       timestamptz not null default now(),
    create_time      timestamptz not null,
    update_time      timestamptz not null,
    ready_time       timestamptz,
    constraint orders_request_id_key unique (request_id),
    constraint orders_total_positive check (total_minor > 0),
    constraint orders_state_known check (state in
        ('AWAITING_PAYMENT', 'PAID', 'PREPARING', 'READY', 'COLLECTED',
         'DECLINED', 'CANCELLED', 'FAILED')),
    constraint orders_payment_state_known check (payment_state in
        ('PENDING', 'CHARGED', 'DECLINED', 'CANCELLED')),
    constraint orders_refund_state_known check (refund_state in
        ('NOT_NEEDED', 'PENDING', 'DONE')),
    constraint orders_cancel_state_known check (cancel_state in
        ('NOT_REQUESTED', 'REQUESTED', 'ACCEPTED', 'REFUSED')),
    -- The promise, as far as one table can hold it: no coffee without a charge, and
    -- no token of a settled payment.
    constraint orders_made_only_if_charged check
        (state not in ('PAID', 'PREPARING', 'READY', 'COLLECTED') or payment_state = 'CHARGED'),
    constraint orders_token_only_while_pending check
        ((payment_token is not null) = (state = 'AWAITING_PAYMENT')),
    -- And never charged without coffee or refund: an order that ends without coffee owes
    -- what was charged, and while that is not known, to find it out.
    constraint orders_refund_owed_without_coffee check
        (state not in ('CANCELLED', 'FAILED') or refund_state = 'PENDING'
            or (payment_state = 'CHARGED') = (refund_state = 'DONE')
                and payment_state <> 'PENDING')
);

-- What the sweeper asks for. Holds only the undecided orders, and those that are over and
-- owe the provider a call.
create index orders_unsettled on orders (settle_time)
    where state = 'AWAITING_PAYMENT' or refund_state = 'PENDING';
-- What the payment window closes. Holds only orders that wait to be paid.
create index orders_unpaid on orders (store_time) where state = 'AWAITING_PAYMENT';
-- How many customers wait for their money, and for how long the first of them. Holds only those.
create index orders_refund_owed on orders (update_time) where refund_state = 'PENDING';
-- What the reconciler asks for. Holds only what is to be made, and is never written for
-- its own sake while all goes well.
create index orders_silent on orders (greatest(update_time, silent_time))
    where state in ('PAID', 'PREPARING');
-- ListOrders by state and by name; order ids rise with time.
create index orders_state on orders (state, order_id);
create index orders_customer_name on orders (customer_name, order_id);

-- Every change of every order. The unique key is the last guard of revisions: two
-- transactions that both believe to make revision 3 cannot both commit. No foreign key:
-- its check is a query per row, and whoever writes an entry has inserted the order in the
-- same transaction or holds its lock.
create table order_history (
    order_id uuid        not null,
    revision bigint      not null,
    state    text        not null,
    time     timestamptz not null,
    detail   text        not null,
    constraint order_history_pkey primary key (order_id, revision)
);
