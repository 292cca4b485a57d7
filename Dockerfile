# The service, in any of its roles: docker run … meterwarden serve | ingest | work | api.
# Node runs the TypeScript of src/ as it is, so nothing is compiled.

FROM node:24.21.0-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund

FROM node:24.21.0-bookworm-slim
ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    METERWARDEN_DATA=/data
WORKDIR /app
# What stands here belongs to root and is only read. The service writes /data, in `serve` without DATABASE_URL, and /handover, with
# HANDOVER_TO=/handover. A volume takes over whose its folder is: /mosquitto/files is for `mosquitto-files`, run as the user of Mosquitto's image.
RUN install -d -o node -g node -m 0750 /data /handover \
 && install -d -o 1883 -g 1883 -m 0750 /mosquitto/files
COPY --from=packages /app/node_modules ./node_modules
COPY package.json LICENSE NOTICE ./
COPY config ./config
COPY src ./src
# The user `node` of the image, by number, so that an orchestrator sees that it is not root.
USER 1000:1000
EXPOSE 8080 1883 8883
STOPSIGNAL SIGTERM
# The process asks itself, so its certificate need not name 127.0.0.1.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "const tls = Boolean(process.env.TLS_CERT); if (tls) process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; fetch(`http${tls ? 's' : ''}://127.0.0.1:${process.env.HTTP_PORT || 8080}/healthz`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# No shell between: the service itself is process 1 and gets the signals.
ENTRYPOINT ["node", "src/main.ts"]
CMD ["serve"]
