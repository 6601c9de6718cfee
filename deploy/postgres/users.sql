-- Runs once, on an empty disk: one user may make tables, the second may add rows and read them, the third may read alone.
\set migrate `cat /run/secrets/postgres_password_migrate`
\set worker `cat /run/secrets/postgres_password_worker`
\set api `cat /run/secrets/postgres_password_api`

CREATE ROLE mousetrap_migrate LOGIN PASSWORD :'migrate';
CREATE ROLE mousetrap_worker LOGIN PASSWORD :'worker';
CREATE ROLE mousetrap_api LOGIN PASSWORD :'api';

REVOKE ALL ON DATABASE mousetrap FROM PUBLIC;
GRANT CONNECT ON DATABASE mousetrap TO mousetrap_migrate, mousetrap_worker, mousetrap_api;
GRANT CREATE ON SCHEMA public TO mousetrap_migrate;
ALTER DEFAULT PRIVILEGES FOR ROLE mousetrap_migrate IN SCHEMA public GRANT SELECT, INSERT ON TABLES TO mousetrap_worker;
ALTER DEFAULT PRIVILEGES FOR ROLE mousetrap_migrate IN SCHEMA public GRANT SELECT ON TABLES TO mousetrap_api;
