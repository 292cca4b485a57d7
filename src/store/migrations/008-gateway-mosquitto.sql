-- The secret as Mosquitto's password file wants it, made when the secret is set: it cannot be made from the hash. Null = set before.
ALTER TABLE gateways ADD COLUMN mosquitto text;
