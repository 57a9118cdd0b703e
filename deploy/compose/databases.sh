#!/bin/sh
# One database and one role per service, as `shop up` makes them. The image of Postgres runs this once,
# when its volume is new.
set -eu
for service in reception barista payments; do
    # The service's secret is its URL: the password stands there, and nowhere else.
    url=$(cat "/run/secrets/$service")
    password=${url#*://*:}
    password=${password%%@*}
    case $password in *%*)
        echo "the password in $service's secret is percent-encoded: choose one that need not be" >&2
        exit 1 ;;
    esac
    psql --username "$POSTGRES_USER" -v ON_ERROR_STOP=1 -v name="$service" -v password="$password" <<'END'
create role :"name" login password :'password';
create database :"name" owner :"name";
END
done
