package soulbox;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import jdk.jshell.execution.DirectExecutionControl;

/** Runs what JShell has compiled in this machine, each snippet on a thread of its own, so that it can be stopped. */
final class Control extends DirectExecutionControl {
    /** Milliseconds that code has to end by itself once its thread was interrupted. */
    private static final long PATIENCE = 300;

    private Thread running;
    private boolean stopped;

    /** From now on code may run again. */
    synchronized void begin() {
        stopped = false;
    }

    /** Whether {@link #stop} was called since {@link #begin}. */
    synchronized boolean isStopped() {
        return stopped;
    }

    @Override
    protected String invoke(Method method) throws Exception {
        Call call = new Call(method);
        Thread thread = new Thread(call, "cell");
        synchronized (this) {
            if (stopped) {
                throw new StoppedException();
            }
            running = thread;
            thread.start();
        }
        thread.join();
        synchronized (this) {
            running = null;
            if (stopped) {
                throw new StoppedException();
            }
        }
        if (call.thrown != null) {
            throw call.thrown;
        }
        return call.value;
    }

    @Override
    public void stop() {
        Thread thread;
        synchronized (this) {
            stopped = true;
            thread = running;
        }
        if (thread == null) {
            return;
        }
        thread.interrupt();
        Thread insisting = new Thread(() -> insist(thread), "soulbox-stop");
        insisting.setDaemon(true);
        insisting.start();
    }

    /** Ends a thread that does not care about interrupts, in a Java that has means for it: up to 19. */
    private static void insist(Thread thread) {
        try {
            thread.join(PATIENCE);
            while (thread.isAlive()) {
                Thread.class.getMethod("stop").invoke(thread);
                thread.join(PATIENCE);
            }
        } catch (ReflectiveOperationException | InterruptedException e) {
            // Whoever has started this machine ends it, when it has waited long enough.
        }
    }

    private static final class Call implements Runnable {
        private final Method method;
        private String value;
        private Exception thrown;

        Call(Method method) {
            this.method = method;
        }

        @Override
        public void run() {
            try {
                value = valueString(method.invoke(null));
            } catch (InvocationTargetException e) {
                thrown = e;
            } catch (Throwable e) {
                // Also what `toString` of a value throws.
                thrown = new InvocationTargetException(e);
            }
        }
    }
}
