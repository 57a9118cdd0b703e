-- What the barista knows: how drinks are made, by whom, and what is to be made.

-- What a drink takes: a skill, and time. A drink on reception's menu without a row
-- here cannot be made: an order of it fails, and is refunded.
create table recipes (
    drink        text    not null,
    size         text    not null,
    skill        text    not null,
    brew_time_ms integer not null,
    constraint recipes_pkey primary key (drink, size),
    -- A drink is leased for its brew time: the longest one bounds how long a drink
    -- can be stuck with a process that is gone.
    constraint recipes_brew_time_range check (brew_time_ms between 0 and 600000)
);

insert into recipes (drink, size, skill, brew_time_ms) values
    ('espresso',      'single', 'espresso', 1500),
    ('espresso',      'double', 'espresso', 2000),
    ('cappuccino',    'small',  'espresso', 3500),
    ('cappuccino',    'large',  'espresso', 4000),
    ('latte',         'small',  'espresso', 3500),
    ('latte',         'large',  'espresso', 4500),
    ('flat_white',    'small',  'espresso', 3500),
    ('americano',     'small',  'espresso', 2000),
    ('americano',     'large',  'espresso', 2500),
    ('filter',        'small',  'filter',   5000),
    ('filter',        'large',  'filter',   6000),
    ('tea',           'small',  'tea',      3000),
    ('tea',           'large',  'tea',      3500),
    ('hot_chocolate', 'small',  'tea',      4000),
    ('hot_chocolate', 'large',  'tea',      5000);

-- The workforce. A new row starts work at once. A barista's row is also the lock
-- under which that barista is given a drink. When the last one with a skill leaves, the
-- orders that wait for it fail: change a shift in one transaction.
create table baristas (
    barista_id   text   primary key,
    display_name text   not null,
    skills       text[] not null,
    constraint baristas_skilled check (cardinality(skills) > 0)
);

-- Every skill has at least two: a drink need not wait for one person.
insert into baristas (barista_id, display_name, skills) values
    ('ada',    'Ada',    '{espresso,filter,tea}'),
    ('bruno',  'Bruno',  '{espresso}'),
    ('chiara', 'Chiara', '{espresso,filter}'),
    ('dmitri', 'Dmitri', '{tea}');

-- One ticket per order, kept for ever: it is what makes a second PAID harmless.
--
-- `drinks_made` counts what is booked, so that nobody has to count rows to see the
-- last drink. It is written under the ticket's row lock, in the transaction that
-- books the drinks; if a drink were ever booked twice, its check would refuse.
create table tickets (
    order_id       uuid        primary key,
    state          text        not null,
    revision       bigint      not null,
    -- The last revision of the order that was applied.
    order_revision bigint      not null,
    drinks_total   integer     not null,
    drinks_made    integer     not null,
    -- Why it cannot be made, for people.
    fail_reason    text,
    -- Whether a wish to cancel came too late. Once true, it stays so.
    cancel_refused boolean     not null default false,
    -- The order's trace: brewing happens long after the message that asked for it.
    traceparent    text,
    tracestate     text,
    create_time    timestamptz not null,
    update_time    timestamptz not null,
    constraint tickets_state_known check (state in
        ('QUEUED', 'STARTED', 'READY', 'CANCELLED', 'FAILED')),
    constraint tickets_drinks_made_range check (drinks_made between 0 and drinks_total),
    -- The promise, as far as one row can hold it: READY means that all is made.
    constraint tickets_ready_when_made check
        ((state = 'READY') = (drinks_made = drinks_total and drinks_total > 0)),
    -- Without drinks it is a tombstone: of an order that was given up before it had a
    -- ticket.
    constraint tickets_drinks_some check
        (drinks_total > 0 or state in ('CANCELLED', 'FAILED')),
    constraint tickets_reason_when_failed check ((state = 'FAILED') = (fail_reason is not null)),
    -- What nobody has begun can be cancelled.
    constraint tickets_cancel_refused_when_begun check (not cancel_refused or state <> 'QUEUED')
);

-- ListTickets by state; order ids rise with time.
create index tickets_state on tickets (state, order_id);

-- No foreign keys from here on: their checks were a sixth of what the server spent on
-- making drinks. Whoever writes such a row has inserted the row it belongs to in the
-- same transaction, or holds that row's lock: the ticket of a drink and of a history
-- entry, and the barista who takes a drink.

-- One row per unit of an order. `skill` and `brew_time_ms` are the recipe's when the
-- drink was ordered, so that taking one asks no other table.
--
-- BREWING is a lease: somebody's until `lease_expire_time`, by this server's clock.
-- `attempt` counts how often the drink was taken, and is the fence: who books with
-- an older one comes too late, and nothing changes. `lapses` counts how often it was taken
-- and its lease ran out: a drink that a stopping process hands back has not failed.
create table drinks (
    order_id          uuid    not null,
    line              integer not null,
    unit              integer not null,
    drink             text    not null,
    size              text    not null,
    skill             text    not null,
    brew_time_ms      integer not null,
    state             text    not null default 'WAITING',
    attempt           integer not null default 0,
    lapses            integer not null default 0,
    barista_id        text,
    lease_owner       uuid,
    lease_expire_time timestamptz,
    start_time        timestamptz,
    made_time         timestamptz,
    constraint drinks_pkey primary key (order_id, line, unit),
    constraint drinks_state_known check (state in ('WAITING', 'BREWING', 'MADE')),
    constraint drinks_barista_unless_waiting check ((barista_id is null) = (state = 'WAITING')),
    constraint drinks_lease_while_brewing check
        ((state = 'BREWING') = (lease_owner is not null and lease_expire_time is not null)),
    constraint drinks_time_when_made check ((made_time is not null) = (state = 'MADE'))
);

-- A barista brews one drink at a time, whatever the number of processes. Also finds
-- who is busy, and leases that ran out: it has at most a row per barista.
create unique index drinks_one_per_barista on drinks (barista_id) where state = 'BREWING';

-- The queue of each skill: oldest order first. Holds only what waits, so that taking
-- does not slow down as made drinks pile up.
create index drinks_waiting on drinks (skill, order_id, line, unit) where state = 'WAITING';

-- The skills that are waited for, found one by one in that index. Not in the recipes: a
-- drink goes by the recipe that was there when it was ordered, and still waits when that
-- is gone.
create view skills_waited_for (skill) as
    with recursive waiting (skill) as (
        (select skill from drinks where state = 'WAITING' order by skill limit 1)
        union all
        select (select d.skill from drinks d
                where d.state = 'WAITING' and d.skill > w.skill order by d.skill limit 1)
        from waiting w where w.skill is not null)
    select skill from waiting where skill is not null;

-- What may have been begun too often. Mostly empty.
create index drinks_lapsed on drinks (lapses) where state = 'WAITING' and lapses > 0;

-- Every revision of every ticket. The unique key is the last guard of revisions: two
-- transactions that both believe to make revision 3 cannot both commit.
create table ticket_history (
    order_id uuid        not null,
    revision bigint      not null,
    state    text        not null,
    time     timestamptz not null,
    constraint ticket_history_pkey primary key (order_id, revision)
);
