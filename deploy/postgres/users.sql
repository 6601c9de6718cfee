-- Runs once, on an empty disk: one user may make tables, the other may add rows and read them.
\set migrate `cat /run/secrets/postgres_password_migrate`
\set worker `cat /run/secrets/postgres_password_worker`

CREATE ROLE mousetrap_migrate LOGIN PASSWORD :'migrate';
CREATE ROLE mousetrap_worker LOGIN PASSWORD :'worker';

REVOKE ALL ON DATABASE mousetrap FROM PUBLIC;
GRANT CONNECT ON DATABASE mousetrap TO mousetrap_migrate, mousetrap_worker;
GRANT CREATE ON SCHEMA public TO mousetrap_migrate;
ALTER DEFAULT PRIVILEGES FOR ROLE mousetrap_migrate IN SCHEMA public GRANT SELECT, INSERT ON TABLES TO mousetrap_worker;
