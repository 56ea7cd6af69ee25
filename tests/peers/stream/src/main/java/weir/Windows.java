package weir;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * Count and mean of the amount over 1, 7 and 30 days for each customer, by Kafka Streams: a ring of (time, amount) as one value of a changelogged
 * RocksDB store, Avro read and written by hand, large producer batches. Arguments: brokers, input topic, output topic, application id, threads,
 * at_least_once or exactly_once_v2, linger ms, state directory.
 */
public final class Windows {
  private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle DOUBLE = MethodHandles.byteArrayViewVarHandle(double[].class, ByteOrder.LITTLE_ENDIAN);
  private static final long DAY = 86_400_000_000L;
  private static final long[] WINDOWS = {DAY, 7 * DAY, 30 * DAY};
  private static final int ENTRY = 16;

  private static final class Features implements Processor<byte[], byte[], byte[], byte[]> {
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<byte[], byte[]> rings;
    private final byte[] out = new byte[1024];
    private int at; // the place in the record that is read

    @Override public void init(ProcessorContext<byte[], byte[]> context) {
      this.context = context;
      rings = context.getStateStore("rings");
    }

    private long readLong(byte[] b) {
      long u = 0;
      int shift = 0;
      byte x;
      do {
        x = b[at++];
        u |= (long) (x & 0x7f) << shift;
        shift += 7;
      } while (x < 0);
      return (u >>> 1) ^ -(u & 1);
    }

    private void skipText(byte[] b) {
      int n = (int) readLong(b);
      at += n;
    }

    private int putLong(int to, long v) {
      long u = (v << 1) ^ (v >> 63);
      while ((u & ~0x7fL) != 0) {
        out[to++] = (byte) (u | 0x80);
        u >>>= 7;
      }
      out[to++] = (byte) u;
      return to;
    }

    @Override public void process(Record<byte[], byte[]> record) {
      byte[] in = record.value();
      if (in == null || in.length < 20 || in[0] != 0) return;
      at = 5;
      skipText(in); // tenant
      skipText(in); // transaction_id
      long time = readLong(in);
      skipText(in); // customer_id
      skipText(in); // terminal_id
      double amount = (double) DOUBLE.get(in, at);
      byte[] key = record.key(), old = rings.get(key);
      int n = old == null ? 0 : old.length / ENTRY, place = n;
      while (place > 0 && (long) LONG.get(old, (place - 1) * ENTRY) > time) place--;
      long newest = place == n ? time : (long) LONG.get(old, (n - 1) * ENTRY);
      int first = 0;
      while (first < place && (long) LONG.get(old, first * ENTRY) <= newest - WINDOWS[2]) first++;
      byte[] ring = new byte[(n - first + 1) * ENTRY];
      if (place > first) System.arraycopy(old, first * ENTRY, ring, 0, (place - first) * ENTRY);
      int here = (place - first) * ENTRY;
      LONG.set(ring, here, time);
      DOUBLE.set(ring, here + 8, amount);
      if (place < n) System.arraycopy(old, place * ENTRY, ring, here + ENTRY, (n - place) * ENTRY);
      rings.put(key, ring);
      context.forward(record.withValue(encode(key, time, ring, place - first)));
    }

    private byte[] encode(byte[] key, long time, byte[] ring, int last) {
      RecordMetadata source = context.recordMetadata().orElseThrow();
      out[0] = out[1] = out[2] = out[3] = 0;
      out[4] = 2;
      int to = putLong(5, key.length);
      System.arraycopy(key, 0, out, to, key.length);
      to = putLong(putLong(putLong(to + key.length, time), source.partition()), source.offset());
      double sum = 0;
      int count = 0, i = last;
      for (long window : WINDOWS) {
        for (; i >= 0 && (long) LONG.get(ring, i * ENTRY) > time - window; i--, count++) sum += (double) DOUBLE.get(ring, i * ENTRY + 8);
        DOUBLE.set(out, to, (double) count);
        DOUBLE.set(out, to + 8, sum / count);
        to += 16;
      }
      return Arrays.copyOf(out, to);
    }
  }

  public static void main(String[] a) throws Exception {
    Topology topology = new Topology();
    topology.addSource("events", new ByteArrayDeserializer(), new ByteArrayDeserializer(), a[1]);
    topology.addProcessor("features", Features::new, "events");
    topology.addStateStore(
        Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("rings"), Serdes.ByteArray(), Serdes.ByteArray()).withLoggingEnabled(Map.of()).withCachingEnabled(), "features");
    topology.addSink("out", a[2], new ByteArraySerializer(), new ByteArraySerializer(), "features");
    Properties p = new Properties();
    p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, a[0]);
    p.put(StreamsConfig.APPLICATION_ID_CONFIG, a[3]);
    p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, a[4]);
    p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, a[5]);
    p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
    p.put(StreamsConfig.STATE_DIR_CONFIG, a[7]);
    p.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    p.put(StreamsConfig.ENABLE_METRICS_PUSH_CONFIG, false);
    p.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), a[6]);
    p.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 128 * 1024);
    p.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 64L << 20);
    p.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 4000);
    p.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    KafkaStreams streams = new KafkaStreams(topology, p);
    CountDownLatch stopped = new CountDownLatch(1);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      streams.close(java.time.Duration.ofSeconds(20));
      stopped.countDown();
    }));
    streams.start();
    stopped.await(1, TimeUnit.HOURS);
  }
}
